"""What a student remembers of pairs, beside what it learnt."""
