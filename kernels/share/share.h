/* share.h: what stands before a function that every device compiles, so that all of them compute the same
 * bits: C on the CPU, CUDA C on a GPU. */
#ifndef SB_KERNELS_SHARE_H
#define SB_KERNELS_SHARE_H

#ifdef __CUDACC__
#define SB_SHARED static inline __host__ __device__
#else
#define SB_SHARED static inline
#endif

#endif
