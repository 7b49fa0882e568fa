// Carries out calls of xendit-node's recurring service, one after another: {url, key, calls: [{name, data}]} on stdin,
// a list of answers on stdout. A text "$N.field" in the data stands for a field of the N-th answer.
const Xendit = require('xendit-node');

const filled = (value, answers) => {
  if (typeof value === 'string') {
    const found = value.match(/^\$([0-9]+)\.(.+)$/);
    return found ? found[2].split('.').reduce((one, name) => one[name], answers[Number(found[1])]) : value;
  }
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(one => filled(one, answers));
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, filled(one, answers)]));
};

const main = async () => {
  let text = '';
  for await (const part of process.stdin) text += part;
  const { url, key, calls } = JSON.parse(text);
  const { Recurring } = new Xendit({ secretKey: key, xenditURL: url });
  const recurring = new Recurring({});
  const answers = [];
  for (const { name, data } of calls) {
    const sent = filled(data, answers);
    answers.push(await recurring[name](sent).catch(error => ({ error: { ...error, message: error.message } })));
  }
  process.stdout.write(JSON.stringify(answers));
};

main();
