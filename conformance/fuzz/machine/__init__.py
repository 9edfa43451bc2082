"""What Hypothesis does here, and the only part of the judge that needs it: strategies > sessions > rounds."""
