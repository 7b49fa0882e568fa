# One image for worker, gateway and the development services; the command chooses.
# LOCK=requirements-dev.lock adds what the mail catcher and the tests need.
FROM python:3.13-slim

ARG LOCK=requirements.lock
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# Dependencies first: they change less often than our code.
COPY requirements.lock requirements-dev.lock ./
RUN pip install --require-hashes -r "$LOCK"

# The library is installed; its build back end is pinned in the development lock only, so it is isolated here.
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-deps .

# These run from the image and never from site-packages (docs/decisions/0001).
COPY activities activities
COPY workflows workflows
COPY workers workers
COPY examples examples

USER nobody
CMD ["python", "-m", "workers"]
