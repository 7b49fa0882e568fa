"""Payment providers behind one small protocol."""
