/* relations.c: relations of places against a teacher's on the CPU. The products are oneDNN's, a band of
 * places of an image at a time; a place is one thread's, its sums in f64. Bands are added in their order. */
#include "kernels/op/relations.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_relations s = sb_relations_of(call);
    return 2 * sb_relations_floats(&s) * sizeof(float);
}

/* A band of an image: its places, and where everything of it lies. */
typedef struct {
    int count;
    size_t row;         /* of the first place, in the batch */
    const float *all;   /* the image's rows of s */
    const float *mine;  /* the band's */
    float *of_s, *of_t; /* [count, places]: logits */
} band;

static int find_band(const sb_call *call, const sb_relations *s, int n, int first, band *b)
{
    const size_t width = (size_t)s->width, teacher = (size_t)s->teacher,
                 image = (size_t)n * (size_t)s->places;
    const float *t = call->x[1];
    *b = (band){ .count = s->places - first < s->band ? s->places - first : s->band,
                 .row = image + (size_t)first,
                 .all = (const float *)call->x[0] + image * width,
                 .of_s = call->scratch };
    b->mine = b->all + (size_t)first * width;
    b->of_t = b->of_s + sb_relations_floats(s);
    if (sb_cpu_sgemm(false, true, b->count, s->places, s->width, s->scale, b->mine, b->all, 0, b->of_s) != 0)
        return -1;
    return sb_cpu_sgemm(false, true, b->count, s->places, s->teacher, s->scale, t + b->row * teacher,
                        t + image * teacher, 0, b->of_t);
}

static double logsumexp(const float *logits, size_t count)
{
    float most = logits[0];
    for (size_t j = 1; j < count; j++)
        most = logits[j] > most ? logits[j] : most;
    double sum = 0;
    for (size_t j = 0; j < count; j++)
        sum += exp((double)logits[j] - most);
    return most + log(sum < 1 ? 1 : sum);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_relations s = sb_relations_of(call);
    const size_t places = (size_t)s.places;
    float *y = call->y, *aux = call->aux;
    band b;
    for (int n = 0; n < s.images; n++)
        for (int first = 0; first < s.places; first += s.band) {
            if (find_band(call, &s, n, first, &b) != 0)
                return -1;
#pragma omp parallel for schedule(static)
            for (int r = 0; r < b.count; r++) {
                const float *of_s = b.of_s + (size_t)r * places, *of_t = b.of_t + (size_t)r * places;
                const double lse_s = logsumexp(of_s, places), lse_t = logsumexp(of_t, places);
                const size_t row = b.row + (size_t)r;
                double sum = 0;
                for (size_t j = 0; j < places; j++)
                    sum += exp(of_t[j] - lse_t) * ((of_t[j] - lse_t) - (of_s[j] - lse_s));
                y[row] = (float)sum;
                if (aux) {
                    aux[2 * row] = (float)lse_s;
                    aux[2 * row + 1] = (float)lse_t;
                }
            }
        }
    return 0;
}

/* of_s <- G. */
static void weigh(const sb_call *call, const sb_relations *s, const band *b)
{
    const size_t places = (size_t)s->places;
    const float *dy = call->dy, *aux = call->aux;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < b->count; r++) {
        const size_t row = b->row + (size_t)r;
        const float lse_s = aux[2 * row], lse_t = aux[2 * row + 1], scale = dy[row] * s->scale;
        float *of_s = b->of_s + (size_t)r * places;
        const float *of_t = b->of_t + (size_t)r * places;
        for (size_t j = 0; j < places; j++)
            of_s[j] = scale * (expf(of_s[j] - lse_s) - expf(of_t[j] - lse_t));
    }
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_relations s = sb_relations_of(call);
    const size_t width = (size_t)s.width;
    float *dx = call->dx[0];
    if (!call->add[0])
        memset(dx, 0, sb_shape_bytes(&call->xs[0]));
    band b;
    for (int n = 0; n < s.images; n++)
        for (int first = 0; first < s.places; first += s.band) {
            if (find_band(call, &s, n, first, &b) != 0)
                return -1;
            weigh(call, &s, &b);
            float *image = dx + (size_t)n * (size_t)s.places * width;
            if (sb_cpu_sgemm(false, false, b.count, s.width, s.places, 1, b.of_s, b.all, 1,
                             image + (size_t)first * width) != 0 ||
                sb_cpu_sgemm(true, false, s.places, s.width, b.count, 1, b.of_s, b.mine, 1, image) != 0)
                return -1;
        }
    return 0;
}

const sb_kernel sb_cpu_relations = { .scratch = scratch, .forward = forward, .backward = backward };
