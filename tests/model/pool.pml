/* pool.pml: the tile ring (proto/ring.h, augment/dispatch.c, loader/main.c): an owner that reads, two writers that do what they are told.
 *
 * An order names slot, generation and tile. Messages are lost, late and repeated: a writer obeys any order that was ever given. The
 * owner may change its mind about a slot's tile (its image turned out to be bad) while an older order is under way, so it looks at what it
 * gets and throws away what it did not want. Writers die at any step and start again at once; what they held is taken back when the owner
 * finds out. The owner's own death is the ring's and not modelled. Checked: no torn tile, whoever lives keeps its slot, every
 * sample is delivered once, and the ring drains. */
#define SLOTS 2
#define SAMPLES 3
#define CRASHES 1
#define GENERATIONS (2 * SAMPLES) /* a sample takes one, and one for a tile that is thrown away */
#define OWNER 255                 /* its incarnation as a reader */
#define TILE(n) (1 + job[n].sample * 2 + job[n].draw)
#define DRAINED (delivered[0] && delivered[1] && delivered[2])

#include "slots.pml"

typedef generations {
    byte tile[2 * GENERATIONS]; /* of the order for [generation, draw]; 0: never given */
};
generations order[SLOTS];

typedef work {
    byte sample;
    bit draw;     /* 1: drawn again */
    bool ordered;
};
bool finished;

/* An order that can still be obeyed; the others fail at the claim and change nothing. */
inline obey(n, drawn)
{
    atomic {
        ring[n].state == FREE && order[n].tile[ring[n].gen * 2 + drawn] != 0 ->
        g = ring[n].gen;
        tile = order[n].tile[g * 2 + drawn]
    }
    claim(n, g, inc);
    if
    :: ok ->
        MAY_DIE(me);
        ring[n].left = tile;
        MAY_DIE(me);
        ring[n].right = tile;
        MAY_DIE(me);
        publish(n, g, inc);
        assert(ok || gone[me])
    :: else /* the other writer was faster */
    fi;
    g = 0;
    tile = 0
}

proctype writer(byte me, inc)
{
    byte g, tile;
    bool ok;
    do
    :: obey(0, 0)
    :: obey(0, 1)
    :: obey(1, 0)
    :: obey(1, 1)
    :: DIES(me)
    :: finished -> break
    od;
dead:
    skip
}

/* Also where an older order of this slot is being obeyed. */
inline give_order(n)
{
    atomic {
        job[n].sample < SAMPLES && !job[n].ordered && ring[n].state != READY ->
        job[n].ordered = true;
        order[n].tile[ring[n].gen * 2 + job[n].draw] = TILE(n)
    }
}

inline change_mind(n)
{
    atomic { job[n].ordered && job[n].sample == 0 && job[n].draw == 0 -> job[n].draw = 1; job[n].ordered = false }
}

inline read(n)
{
    job[n].sample < SAMPLES && ring[n].state == READY ->
    g = ring[n].gen;
    acquire(n, g, OWNER);
    assert(ok);
    left = ring[n].left;
    assert(left != 0 && left == ring[n].right);
    if
    :: left == TILE(n) ->
        assert(!delivered[job[n].sample]);
        delivered[job[n].sample] = true;
        job[n].sample = next;
        job[n].draw = 0;
        next = (next < SAMPLES -> next + 1 : next)
    :: else /* not what was wanted: once more */
    fi;
    job[n].ordered = false;
    release(n, g, OWNER);
    assert(ok);
    left = 0;
    g = 0
}

active proctype owner()
{
    work job[SLOTS];
    byte next = SLOTS, i, g, left, w, before, processes = 2, living[2], inc[2];
    slot was;
    bool ok, delivered[SAMPLES];
    atomic {
        job[1].sample = 1;
        living[1] = 1;
        inc[0] = 1;
        inc[1] = 2;
        given = 2;
        run writer(0, 1);
        run writer(1, 2)
    }
    do
    :: atomic {
            gone[living[0]] || gone[living[1]] ->
            w = (gone[living[0]] -> 0 : 1);
            before = inc[w];
            RENEW(inc[w]);
            living[w] = processes;
            processes++;
            run writer(living[w], inc[w])
        }
        reclaim(before)
    :: give_order(0)
    :: give_order(1)
    :: change_mind(0)
    :: read(0)
    :: read(1)
    :: DRAINED -> break
    od;
    finished = true
}
