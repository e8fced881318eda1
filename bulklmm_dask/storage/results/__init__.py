"""Result stores: made, resumed, written block by block, and opened."""
