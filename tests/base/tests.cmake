if(TARGET test_base_huge_pages) # the system refuses huge pages
  target_link_options(test_base_huge_pages PRIVATE LINKER:--wrap=madvise)
endif()
