/* ring.pml: the view ring (proto/ring.h, augment/main.c, trainer/control.c): one writer, one reader, elements addressed by position.
 *
 * Element e lies in slot e mod SLOTS as generation e / SLOTS. Writer and reader die at any step, CRASHES times in all, and start again.
 * A new writer is welcomed only after the dead one's slots were taken back, and sees from the words which elements are missing; a new
 * reader starts at any moment. Checked: no reader sees a torn or a wrong element, whoever lives keeps its slot, every element is
 * delivered at least once, and the ring drains. */
#define SLOTS 2
#define ELEMENTS 5
#define CRASHES 2

#include "slots.pml"

byte next;                /* the reader's checkpoint: survives it */
bool delivered[ELEMENTS];

proctype writer(byte me, inc)
{
    byte e, s, g;
    bool ok;
    do
    :: e == ELEMENTS -> break
    :: else ->
        s = e % SLOTS;
        g = e / SLOTS;
        if
        :: ring[s].gen > g || ring[s].gen == g && ring[s].state != FREE -> e++ /* a predecessor made it */
        :: ring[s].gen == g && ring[s].state == FREE ->
            claim(s, g, inc);
            assert(ok || gone[me]);
            if
            :: ok ->
                MAY_DIE(me);
                ring[s].left = e + 1;
                MAY_DIE(me);
                ring[s].right = e + 1;
                MAY_DIE(me);
                publish(s, g, inc);
                assert(ok || gone[me])
            :: else
            fi;
            e++
        :: DIES(me)
        fi /* else: no room; waits */
    od;
dead:
    skip
}

proctype reader(byte me, inc)
{
    byte e, s, g, left;
    bool ok;
    do
    :: next == ELEMENTS -> break
    :: else ->
        e = next;
        s = e % SLOTS;
        g = e / SLOTS;
        if
        :: ring[s].gen > g -> assert(delivered[e]); next = e + 1 /* released before the predecessor could note it */
        :: ring[s].gen == g && ring[s].state == READY ->
            acquire(s, g, inc);
            if
            :: ok ->
                MAY_DIE(me);
                left = ring[s].left;
                MAY_DIE(me);
                assert(left == e + 1 && ring[s].right == e + 1);
                left = 0;
                delivered[e] = true;
                MAY_DIE(me);
                release(s, g, inc);
                assert(ok || gone[me]);
                MAY_DIE(me);
                next = e + 1
            :: else -> assert(gone[me])
            fi
        :: DIES(me)
        fi
    od;
dead:
    skip
}

active proctype owner()
{
    byte i, processes = 2, writing = 0, reading = 1; /* numbers of the living */
    byte write_inc = 1, read_inc = 2, before;
    slot was;
    bool ok;
    atomic { given = 2; run writer(0, 1); run reader(1, 2) }
    do
    :: gone[writing] ->
        reclaim(write_inc);
        atomic { RENEW(write_inc); writing = processes; processes++; run writer(writing, write_inc) }
    :: gone[reading] ->
        before = read_inc;
        atomic { RENEW(read_inc); reading = processes; processes++; run reader(reading, read_inc) }
        reclaim(before)
    :: next == ELEMENTS -> break
    od;
    do
    :: i == ELEMENTS -> break
    :: else -> assert(delivered[i]); i++
    od;
    i = 0;
    do
    :: i == SLOTS -> break
    :: else -> assert(ring[i].state == FREE && ring[i].gen == (ELEMENTS - 1 - i) / SLOTS + 1); i++
    od
}
