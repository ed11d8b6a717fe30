"""Which of the flows of one priority goes next."""
