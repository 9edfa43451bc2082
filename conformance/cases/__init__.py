"""What is asked of a testee: one file per section of spec/text, pure declarations that wait for nothing."""
