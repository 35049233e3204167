"""Results of `c2mabv bench`, and the table of the README made from them."""
