"""What is reported while a run goes on, and to whom."""
