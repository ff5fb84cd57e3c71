/* The loops over logits compiled for AVX2; the code is in the header. */
#define WEIGHTS_TABLE sw_weights_avx2
#include "sample/softmax_code.h"
