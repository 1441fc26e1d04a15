"""What methods' official codes made of a few training steps, and vibench against it; README.md says how."""
