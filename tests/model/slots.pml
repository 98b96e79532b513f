/* slots.pml: the words of proto/ring.h, for ring.pml and pool.pml: states, arrows, incarnations, reclaim, crashes.
 *
 * A word's step is one compare-and-swap, so it is one d_step here; everything else (each half of the payload, each look, each slot of
 * a reclaim) is a step of its own, before which a process may die. Payload and meta are two numbers, so that a torn write shows.
 *
 * Two ways to get it wrong, which Spin has to find:
 *   RECLAIM_EARLY   slots are taken back from a process that is only thought dead (a time-out) and runs on
 *   REUSED_ID       a restarted process gets the incarnation number of the one before */
#define PROCESSES (2 + CRASHES) /* that ever live */

mtype = { FREE, WRITING, READY, READING };

typedef slot {
    mtype state = FREE;
    byte inc;         /* of the holder */
    byte gen;
    byte left, right; /* what lies in the slot; 0: nothing yet */
};

slot ring[SLOTS];
byte crashes = CRASHES; /* that may still come */
byte given;             /* incarnation numbers handed out */
bool gone[PROCESSES];   /* the pidfd of a process says so */

/* One arrow: ok = slot n's word was (from, from_inc, from_gen) and is now (to, to_inc, to_gen). */
inline arrow(n, from, from_inc, from_gen, to, to_inc, to_gen)
{
    d_step {
        ok = ring[n].state == from && ring[n].inc == from_inc && ring[n].gen == from_gen;
        if
        :: ok -> ring[n].state = to; ring[n].inc = to_inc; ring[n].gen = to_gen
        :: else
        fi
    }
}
#define claim(s, g, inc)   arrow(s, FREE, 0, g, WRITING, inc, g)
#define publish(s, g, inc) arrow(s, WRITING, inc, g, READY, 0, g)
#define acquire(s, g, inc) arrow(s, READY, 0, g, READING, inc, g)
#define release(s, g, inc) arrow(s, READING, inc, g, FREE, 0, g + 1)

/* A step at which process `me` may die instead. */
#ifdef RECLAIM_EARLY
#define DIES(me) atomic { crashes > 0 && !gone[me] -> crashes--; gone[me] = true } /* so they say */
#else
#define DIES(me) atomic { crashes > 0 -> crashes--; gone[me] = true; goto dead }
#endif
#define MAY_DIE(me) if :: true :: DIES(me) fi

/* The owner takes back what `inc` holds, slot by slot: a look, then a compare-and-swap of what was seen. */
inline reclaim(holder)
{
    i = 0;
    do
    :: i == SLOTS -> break
    :: else ->
        atomic { was.state = ring[i].state; was.inc = ring[i].inc; was.gen = ring[i].gen }
        if
        :: was.inc == holder && was.state == WRITING -> arrow(i, WRITING, holder, was.gen, FREE, 0, was.gen)
        :: was.inc == holder && was.state == READING -> arrow(i, READING, holder, was.gen, READY, 0, was.gen)
        :: else
        fi
        i++
    od
    i = 0; was.state = FREE; was.inc = 0; was.gen = 0 /* forgotten: fewer states */
}

#ifdef REUSED_ID
#define RENEW(inc) skip
#else
#define RENEW(inc) given++; inc = given
#endif
