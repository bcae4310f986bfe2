"""One accepted connection's life up to the relay, as coroutines over the interfaces."""
