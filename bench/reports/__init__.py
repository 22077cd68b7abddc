"""What people read: boards as text, comparisons, explanations, figures."""
