"""The steps of a point multiplication, by number: what `points.py` plans and both kinds of points carry out.

A plan is two byte strings. The steps say what is done to the one accumulator point, up to END. The digits are taken by
the steps that name an entry of a table, one each; a digit of w bits stands for w digits of +-1, the highest of which is
the sign of them all (and is followed, for the comb, by the number of the block):

- the comb's entries are sums of +-2^i G with a plus for the highest, TEETH bits a digit;
- the multiples 1, 3 .. 15 of one other point, 4 bits a digit: digit 8 + i is entry i, digit 7 - i its opposite.

Owns: these numbers. Refuses: arithmetic.
Invariant: a run begins with an empty accumulator: nothing doubled is nothing, the first entry added is taken as it is.
"""

DOUBLE = 0
ADD_BASE = 1  # the accumulator takes in an entry of the comb
ADD_MULTIPLE = 2  # .. or a multiple, or nothing for the digit NONE
START_BASE = 3  # the accumulator becomes an entry; the first addition is turned into this
START_MULTIPLE = 4
STORE = 5  # a multiple becomes the accumulator
ENTER = 6  # viper alone: into Montgomery's form, from numbers laid down in the first multiple
LEAVE = 7  # viper alone: out of it again
END = 8

MULTIPLES = 8
WIDTH = 4
NONE = 16

# From the first multiple to the other odd ones; its double waits in the last entry until its turn.
ODD_MULTIPLES = bytes((ADD_MULTIPLE, DOUBLE, STORE, START_MULTIPLE) + (ADD_MULTIPLE, STORE) * 7 + (END,))
ODD_MULTIPLES_DIGITS = bytes((8, 15, 8, 15, 9, 15, 10, 15, 11, 15, 12, 15, 13, 15, 14, 15, 15))
