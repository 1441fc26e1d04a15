"""The synthetic twin: procedurally rendered people in the real data sets' layout."""
