/* Products of many rows with AMX, beside the kernels of AVX-512 with dot products; the code is in
 * the headers. */
#define DOT 1
#include "kernels/cpu/lanes_avx512.h"

#include "kernels/cpu/many.h"

#include "kernels/cpu/tile.h"

#include "kernels/cpu/rows.h"

#include "kernels/cpu/int8.h"

#include "kernels/cpu/product.h"

#include "kernels/cpu/limits.h"

#include "kernels/cpu/format_rows.h"

#include "kernels/cpu/amx.h"

#include "kernels/cpu/amx_int8.h"
#include "kernels/cpu/amx_words.h"

#include "kernels/cpu/amx_rows.h"
