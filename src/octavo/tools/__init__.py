"""What the model can call: each tool a name, a schema, and `run(call, context)`."""
