"""Operations: `setup`, the policy for topic settings, and `doctor`."""
