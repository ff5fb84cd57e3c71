/* Parses and prints sizes, rates and durations. */
#ifndef SW_BASE_UNITS_H
#define SW_BASE_UNITS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/*
 * "24GiB", "24G" (= GiB, as GPUs are sold and as nvidia-smi counts), "24GB" (= 10^9), "512M",
 * "1.5T", "1000" (bytes). SW_EUSAGE, with the accepted forms, for any other text.
 */
enum sw_status sw_size_parse(const char *text, uint64_t *bytes);
/* "672GB/s", "25GB/s", "900MB/s", in powers of ten. SW_EUSAGE for any other text. */
enum sw_status sw_rate_parse(const char *text, double *bytes_per_second);
/* Writes "23.6 GiB" into `out` and returns it; `cap` of 16 is always enough. */
char *sw_size_format(uint64_t bytes, char *out, size_t cap);
/* Writes "1.2 ms", "35 s", "2 h 05 min". */
char *sw_seconds_format(double seconds, char *out, size_t cap);
/* Writes three significant digits, without an exponent from 0.001 on: "0.557", "16.2", "286000". */
char *sw_number_format(double value, char *out, size_t cap);
/* Writes "no layers", "layer 3", "layers 3-8". */
char *sw_layers_format(int first, int count, char *out, size_t cap);

#endif
