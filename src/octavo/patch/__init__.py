"""What would this patch change? Text in, exact file edits out; nothing here touches the disk."""
