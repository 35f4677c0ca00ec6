"""What a policy makes of an evaluation."""
