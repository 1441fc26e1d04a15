"""From trained models or features to evaluation records."""
