if(TARGET test_checkpoint_read_pieces) # its reads are slow, or fail
  target_link_options(test_checkpoint_read_pieces PRIVATE LINKER:--wrap=pread,--wrap=posix_fadvise)
endif()
if(TARGET test_checkpoint_read_list) # its disk can be slow, short, or fail
  target_link_options(test_checkpoint_read_list PRIVATE LINKER:--wrap=open,--wrap=pread,--wrap=mincore,--wrap=madvise)
endif()
