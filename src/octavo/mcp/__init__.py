"""Other people's tools: servers that speak MCP, started, watched and called."""
