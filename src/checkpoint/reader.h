/*
 * Reads tensor data from the files of a tensor directory, in large sequential reads, several at
 * once.
 *
 * A reader may be used by one thread at a time, and a sink must not use the reader that calls it.
 * Every failure names the path, the tensor and the offset: SW_EMODEL for a file that vanished,
 * changed its size or ends early, SW_EIO for a failed read, SW_ENOMEM.
 */
#ifndef SW_CHECKPOINT_READER_H
#define SW_CHECKPOINT_READER_H

#include "base/status.h"
#include "tensor/tensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_reader;

/* Creates a reader; opens no file yet. `tensors` is not copied and must outlive the reader.
 * SW_ENOMEM. The caller closes it. */
enum sw_status sw_reader_open(const struct sw_tensors *tensors, struct sw_reader **out);
/* `reader` may be NULL. */
void sw_reader_close(struct sw_reader *reader);

/*
 * The number of rows of a tensor, as all calls here count them: shape[0]. A row has all elements of
 * the other dimensions, in C order. A scalar has one row of one element; a 1-D tensor has rows of
 * one element (read several at once).
 */
int64_t sw_reader_row_count(const struct sw_tensor *tensor);
/* Bytes of one row; 0 for a tensor without elements. */
uint64_t sw_reader_row_bytes(const struct sw_tensor *tensor);

/*
 * Copies rows [row0, row0 + n_rows) of `tensor` (one of the reader's directory), in the tensor's
 * own element type, into `buffer` (n_rows * sw_reader_row_bytes bytes, contiguous, in C order for
 * any strides in the file). SW_EINPUT: rows outside the tensor.
 */
enum sw_status sw_reader_rows(struct sw_reader *reader, const struct sw_tensor *tensor,
                              int64_t row0, int64_t n_rows, void *buffer);

/*
 * Announces the tensors that will be read next, whole and in this order: the system prefetches some
 * of them, so that the disk is not idle between two tensors. tensors: (n), must stay valid until
 * the next call; NULL, 0: nothing is known. Other tensors and other orders work too, but slower.
 */
void sw_reader_expect(struct sw_reader *reader, const struct sw_tensor *const *tensors, size_t n);

/*
 * Receives rows [row0, row0 + n_rows) in `data`, which is valid during the call only. A failure
 * ends the iteration and is returned.
 */
typedef enum sw_status sw_reader_sink(void *context, int64_t row0, int64_t n_rows,
                                      const void *data);

/*
 * Passes rows [row0, row0 + n_rows) to `sink` in ascending order, whole rows, at most `chunk_bytes`
 * at a time (but at least one row). While the sink works on one chunk a thread reads the next into
 * a second buffer, so reading and packing overlap; peak memory is two chunks.
 */
enum sw_status sw_reader_each_chunk(struct sw_reader *reader, const struct sw_tensor *tensor,
                                    int64_t row0, int64_t n_rows, size_t chunk_bytes,
                                    sw_reader_sink *sink, void *context);

/* For src/checkpoint only: one of the two chunk buffers, of at least `bytes`; NULL: no memory. */
char *sw_reader_chunk(struct sw_reader *reader, int which, size_t bytes);
/* For src/checkpoint only: reads a range of a file of the directory. */
enum sw_status sw_reader_range(struct sw_reader *reader, int file, uint64_t offset, void *out,
                               uint64_t length);
/* For src/checkpoint only: opens a file, whose size must still be the one it had when its header
 * was read; the caller closes *fd. */
enum sw_status sw_reader_open_file(const struct sw_tensor_file *file, int *fd);
/* For src/checkpoint only: the reader's directory; what its lists need (read_list.h); counts bytes
 * that were read. */
const struct sw_tensors *sw_reader_tensors(const struct sw_reader *reader);
struct sw_read_crew;
struct sw_read_crew *sw_reader_crew(struct sw_reader *reader);
void sw_reader_add_bytes(struct sw_reader *reader, uint64_t n);
/* Bytes read from files since the reader was opened. Any thread may call it. */
uint64_t sw_reader_bytes(const struct sw_reader *reader);

/*
 * A wait for what another thread reads; *wait is {0} at first. When no byte has come for `seconds`
 * (0: for ever) the reader is given up, SW_EIO names the file and the offset: its threads stop
 * before or after their next read, and nobody waits for them. So what they use is never freed: what
 * they fill, the backend, the tensors and the model; sw_reader_close leaves the reader to them.
 */
struct sw_reader_wait {
    uint64_t bytes; /* read so far */
    double since;   /* sw_clock when the last of them had come; 0: not begun */
};
enum sw_status sw_reader_wait(struct sw_reader *reader, struct sw_reader_wait *wait,
                              double seconds);
bool sw_reader_is_given_up(const struct sw_reader *reader);
/* Whether some thread of the reader is in a read now. */
bool sw_reader_is_reading(const struct sw_reader *reader);
/* For src/checkpoint only: a file, by its index in the tensors' list, as it was when the reader was
 * opened; its name outlives the tensors where reads do not end. */
const struct sw_tensor_file *sw_reader_file(const struct sw_reader *reader, int file);
/* For src/checkpoint only: called before and after each read. */
void sw_reader_reads_at(struct sw_reader *reader, int file, uint64_t offset);
void sw_reader_has_read(struct sw_reader *reader);

#endif
