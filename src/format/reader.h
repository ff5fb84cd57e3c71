/*
 * Reads tensor data from the files that a tensor directory names, in large sequential reads, of
 * which several are under way at once.
 *
 * A reader may be used by one thread at a time, and a sink must not use the reader that calls it.
 * Every failure names the path, the tensor and the offset: SW_EMODEL for a file that vanished,
 * changed its size or ends early, SW_EIO for a failed read, SW_ENOMEM.
 */
#ifndef SW_FORMAT_READER_H
#define SW_FORMAT_READER_H

#include "base/status.h"
#include "tensor/tensors.h"

#include <stddef.h>
#include <stdint.h>

struct sw_reader;

/* `tensors` is not copied and must outlive the reader. Opens no file yet. */
enum sw_status sw_reader_open(const struct sw_tensors *tensors, struct sw_reader **out);
/* NULL is fine. */
void sw_reader_close(struct sw_reader *reader);

/*
 * What the calls below count as rows of a tensor: shape[0] of them, each of all the elements of
 * the other dimensions, in C order. A scalar is one row of one element, a 1-D tensor rows of one
 * element (ask for several at once).
 */
int64_t sw_reader_row_count(const struct sw_tensor *tensor);
/* Bytes of one row; 0 for a tensor without elements. */
uint64_t sw_reader_row_bytes(const struct sw_tensor *tensor);

/*
 * Copies rows [row0, row0 + n_rows) of `tensor` (one of the reader's directory), in the tensor's
 * own dtype, into `buffer` (n_rows * sw_reader_row_bytes bytes, contiguous, C order, whatever the
 * strides in the file). SW_EINPUT: rows outside the tensor.
 */
enum sw_status sw_reader_rows(struct sw_reader *reader, const struct sw_tensor *tensor,
                              int64_t row0, int64_t n_rows, void *buffer);

/*
 * What will be read next, in this order, each whole: the system is asked to fetch some of it ahead
 * of the reading, so that the disk does not wait between one tensor and the next. (n) pointers,
 * which have to stay until the next call; NULL, 0: nothing is known. What is read besides or in
 * another order is read as well, only not as fast.
 */
void sw_reader_expect(struct sw_reader *reader, const struct sw_tensor *const *tensors, size_t n);

/*
 * Called with rows [row0, row0 + n_rows) in `data` (valid during the call only). Anything but
 * SW_OK ends the iteration and is returned.
 */
typedef enum sw_status sw_reader_sink(void *context, int64_t row0, int64_t n_rows,
                                      const void *data);

/*
 * Hands rows [row0, row0 + n_rows) to `sink` in ascending order, whole rows, at most `chunk_bytes`
 * at a time (at least one row, however large). While the sink works on one chunk a thread reads
 * the next into a second buffer, so reading and packing overlap; peak memory is two chunks.
 */
enum sw_status sw_reader_each_chunk(struct sw_reader *reader, const struct sw_tensor *tensor,
                                    int64_t row0, int64_t n_rows, size_t chunk_bytes,
                                    sw_reader_sink *sink, void *context);

/* One of the two chunk buffers, of at least `bytes`; NULL: no memory. Inside src/format only. */
char *sw_reader_chunk(struct sw_reader *reader, int which, size_t bytes);
/* Bytes read from files since it was opened; may be asked from another thread. */
uint64_t sw_reader_bytes(const struct sw_reader *reader);

#endif
