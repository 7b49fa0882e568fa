"""The business process and nothing else: workflows wait, call activities and apply the core's decisions."""
