"""Features as other code bases dump them: whatever holds arrays is read, and what they are is recognised."""
