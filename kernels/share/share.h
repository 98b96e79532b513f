/* share.h: SB_SHARED, which stands before a function that every device compiles: as C on the CPU, as CUDA C
 * on a GPU. So all devices compute the same bits. */
#ifndef SB_KERNELS_SHARE_H
#define SB_KERNELS_SHARE_H

#ifdef __CUDACC__
#define SB_SHARED static inline __host__ __device__
#else
#define SB_SHARED static inline
#endif

#endif
