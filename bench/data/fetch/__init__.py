"""``bench data fetch``: a card's file from its address into the folder of data, checked before it is put there."""
