/* epps_pulley.cu: columns against normal numbers on a GPU, in f64. Forward, a thread has a column and a knot
 * and takes the view's rows in order. Backward, it has a value and turns its sine and cosine from knot to
 * knot. sincospi, of the angle over pi, reduces any angle without local memory, which sincos does not. */
#include "kernels/cuda/launch.h"
#include "kernels/op/epps_pulley.h"

static __global__ void means(sb_epps_pulley s, const float *x, float *aux)
{
    size_t i = global_thread(), columns = (size_t)s.columns, knots = (size_t)s.knots;
    if (i >= (size_t)s.views * knots * columns)
        return;
    size_t column = i % columns, view = i / columns / knots;
    int knot = (int)(i / columns % knots);
    double angle = knot * s.step * M_1_PI, cosines = 0, sines = 0;
    x += view * (size_t)s.samples * columns + column;
    for (int n = 0; n < s.samples; n++) {
        double sine, cosine;
        sincospi(angle * x[(size_t)n * columns], &sine, &cosine);
        cosines += cosine;
        sines += sine;
    }
    aux += 2 * (i - column) + column;
    aux[0] = (float)(cosines / s.samples - sb_epps_pulley_normal(&s, knot));
    aux[columns] = (float)(sines / s.samples);
}

static __global__ void statistics(sb_epps_pulley s, const float *aux, float *y)
{
    size_t i = global_thread(), columns = (size_t)s.columns;
    if (i >= (size_t)s.views * columns)
        return;
    double sum = 0;
    aux += i / columns * (size_t)s.knots * 2 * columns + i % columns;
    for (int j = 0; j < s.knots; j++, aux += 2 * columns) {
        double off = aux[0], mean = aux[columns];
        sum += sb_epps_pulley_weight(&s, j) * (off * off + mean * mean);
    }
    y[i] = (float)(s.samples * sum);
}

static __global__ void epps_pulley_backward(sb_epps_pulley s, const float *x, const float *aux,
                                            const float *dy, float *dx, bool add)
{
    __shared__ double factor[SB_KNOTS_MAX];
    for (int j = (int)threadIdx.x; j < s.knots; j += THREADS)
        factor[j] = 2 * sb_epps_pulley_weight(&s, j) * j * s.step;
    __syncthreads();
    size_t i = global_thread(), columns = (size_t)s.columns;
    if (i >= (size_t)s.views * (size_t)s.samples * columns)
        return;
    size_t column = i % columns, view = i / columns / (size_t)s.samples;
    double step_sine, step_cosine, sine = 0, cosine = 1, sum = 0;
    sincospi(s.step * M_1_PI * x[i], &step_sine, &step_cosine);
    aux += view * (size_t)s.knots * 2 * columns + column;
    for (int j = 0; j < s.knots; j++, aux += 2 * columns) {
        sum += factor[j] * (aux[columns] * cosine - aux[0] * sine);
        double turned = cosine * step_cosine - sine * step_sine;
        sine = sine * step_cosine + cosine * step_sine;
        cosine = turned;
    }
    give(dx, SB_F32, i, (float)(dy[view * columns + column] * sum), add);
}

static int forward(sb_device *device, const sb_call *c)
{
    sb_epps_pulley s = sb_epps_pulley_of(c);
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(means, blocks_for(count * (size_t)s.knots), THREADS, 0, sb_cuda_compute(device), s,
           (const float *)c->x[0], (float *)c->aux);
    LAUNCH(statistics, blocks_for(count), THREADS, 0, sb_cuda_compute(device), s, (const float *)c->aux,
           (float *)c->y);
    return sb_cuda_launched("epps_pulley");
}

static int backward(sb_device *device, const sb_call *c)
{
    sb_epps_pulley s = sb_epps_pulley_of(c);
    LAUNCH(epps_pulley_backward, blocks_for(sb_shape_elements(&c->xs[0])), THREADS, 0,
           sb_cuda_compute(device), s, (const float *)c->x[0], (const float *)c->aux, (const float *)c->dy,
           (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("epps_pulley_backward");
}

extern "C" const sb_kernel sb_cuda_epps_pulley = { .forward = forward, .backward = backward };
