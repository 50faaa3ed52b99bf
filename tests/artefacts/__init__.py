"""Small datasets, teachers, runs and exports as earlier versions wrote them."""
