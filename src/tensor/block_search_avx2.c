/* The search for scales compiled for AVX2; the code is in the header. */
#define SEARCH_TABLE block_search_avx2
#define LANES 8
#include "tensor/block_search_code.h"
