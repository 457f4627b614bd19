"""The production that was there before is taken over: seen, decided person by person, written, and the way back."""
