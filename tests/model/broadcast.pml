/* broadcast.pml: one place of a broadcast (proto/broadcast.c): a writer that overwrites it again and again, a reader that copies and
 * looks again.
 *
 * Spin interleaves but does not reorder, so what the fences leave open is open here: between two of them the words are stored, and
 * loaded, in any order. Record n is the word n + 1 everywhere. Checked: what read returns as record n is record n, whole.
 *
 *   NO_RELEASE_FENCE   a word may be stored before the odd number is
 *   NO_ACQUIRE_FENCE   the second look may come before the words
 * are the two ways to get it wrong, which Spin has to find. */
#define WORDS 3
#define RECORDS 3

byte number; /* 2n + 1: record n is being written; 2 (n + 1): complete */
byte place[WORDS];

inline store_words(n)
{
    do
    :: !stored[0] -> atomic { place[0] = n + 1; stored[0] = true }
    :: !stored[1] -> atomic { place[1] = n + 1; stored[1] = true }
    :: !stored[2] -> atomic { place[2] = n + 1; stored[2] = true }
#ifdef NO_RELEASE_FENCE
    :: !begun -> atomic { number = 2 * n + 1; begun = true }
#endif
    :: begun && stored[0] && stored[1] && stored[2] -> break
    od
}

active proctype writer()
{
    byte n;
    bool begun, stored[WORDS];
    do
    :: n == RECORDS -> break
    :: else ->
#ifndef NO_RELEASE_FENCE
        number = 2 * n + 1;
        begun = true;
#endif
        store_words(n);
        atomic {
            number = 2 * (n + 1);
            begun = false; stored[0] = false; stored[1] = false; stored[2] = false;
            n++
        }
    od
}

active proctype reader()
{
    byte n, before, after, copy[WORDS]; /* copy: 0 not loaded yet, else 1 + the word */
    bool looked;
    if
    :: n = 0
    :: n = 1
    :: n = 2
    fi;
    before = number;
    if
    :: before != 2 * (n + 1) -> goto end /* not there yet, or lost */
    :: else
    fi;
    do
    :: copy[0] == 0 -> copy[0] = 1 + place[0]
    :: copy[1] == 0 -> copy[1] = 1 + place[1]
    :: copy[2] == 0 -> copy[2] = 1 + place[2]
#ifdef NO_ACQUIRE_FENCE
    :: !looked -> atomic { after = number; looked = true }
    :: looked && copy[0] != 0 && copy[1] != 0 && copy[2] != 0 -> break
#else
    :: copy[0] != 0 && copy[1] != 0 && copy[2] != 0 -> after = number; break
#endif
    od;
    if
    :: after == 2 * (n + 1) -> assert(copy[0] == n + 2 && copy[1] == n + 2 && copy[2] == n + 2)
    :: else /* lost */
    fi;
end:
    skip
}
