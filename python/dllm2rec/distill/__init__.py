"""What a student learns: losses and the weights of the teacher's lists."""
