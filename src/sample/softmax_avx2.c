/* The loops over logits compiled for AVX2; the code is in the header. */
#define SOFTMAX_TABLE sw_softmax_avx2
#include "sample/softmax_code.h"
