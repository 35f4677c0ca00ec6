"""Guards of a release: questions, passages and answers are checked, and cut or stopped where they must be."""
