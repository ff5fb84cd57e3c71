/* Replaces a small file as a whole, so that after a kill or a power cut it is the old or the new.
 */
#ifndef SW_BASE_FILE_REPLACE_H
#define SW_BASE_FILE_REPLACE_H

#include "base/status.h"

/* Writes `text` to `path`, by way of a new file PATH.part; it is on disk when SW_OK is returned.
 * SW_EIO when it cannot be written; the message names the path. */
enum sw_status sw_file_replace(const char *path, const char *text);
/* After a file at `path` was made, renamed or removed: makes the name last, too. -1 with errno;
 * file systems that cannot sync a folder are no failure. */
int sw_file_sync_folder(const char *path);

#endif
