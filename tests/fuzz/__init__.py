"""What anybody may send: by Hypothesis in the test suite, and led by coverage in a long run."""
