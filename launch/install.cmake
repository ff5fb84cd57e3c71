# What `cmake --install` and `cpack` put where. A prefix may be moved: everything is found from where it
# lies itself.
include(GNUInstallDirs)
set(share ${CMAKE_INSTALL_DATADIR}/spillway)

# Libraries that a tarball brings along lie apart, so that none of them gets in the way of others'. An
# RPATH, not a RUNPATH: these libraries find one another by it, too.
set_target_properties(spillway PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/spillway"
  INSTALL_RPATH_USE_LINK_PATH TRUE)
target_link_options(spillway PRIVATE LINKER:--disable-new-dtags)
install(TARGETS spillway RUNTIME_DEPENDENCY_SET needed)
install(PROGRAMS launch/spillway-mpirun TYPE BIN)

# Only in the tarball: all that the program needs, but for glibc and MPI, which is the cluster's own.
install(RUNTIME_DEPENDENCY_SET needed
  PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|resolv|gcc_s|stdc\\+\\+)\\.so" "^lib(mpi|open-)"
  DESTINATION lib/spillway COMPONENT libraries EXCLUDE_FROM_ALL)

# Completion of the command line, from the program's own tables.
set(completions)
foreach(one "bash:spillway:bash-completion/completions" "zsh:_spillway:zsh/site-functions"
    "fish:spillway.fish:fish/vendor_completions.d")
  string(REPLACE ":" ";" one ${one})
  list(GET one 0 shell)
  list(GET one 1 name)
  list(GET one 2 folder)
  if(NOT CMAKE_CROSSCOMPILING)
    add_custom_command(OUTPUT completion/${name}
      COMMAND ${CMAKE_COMMAND} -E make_directory completion
      COMMAND spillway --completion ${shell} > completion/${name} DEPENDS spillway VERBATIM)
    list(APPEND completions ${PROJECT_BINARY_DIR}/completion/${name})
    install(FILES ${PROJECT_BINARY_DIR}/completion/${name} DESTINATION ${CMAKE_INSTALL_DATADIR}/${folder})
  endif()
endforeach()
add_custom_target(completion ALL DEPENDS ${completions})

# The man pages from their Markdown, where lowdown is installed. Its smart typography would make one dash of two,
# and its emphasis within words would take the underscores of names such as q4_k_m.
find_program(LOWDOWN lowdown)
if(LOWDOWN)
  file(GLOB pages CONFIGURE_DEPENDS docs/man/*.1.md)
  foreach(source ${pages})
    get_filename_component(page ${source} NAME_WLE)
    add_custom_command(OUTPUT ${page}
      COMMAND ${LOWDOWN} -s -Tman --out-no-smarty --parse-no-intraemph -o ${page} ${source} DEPENDS ${source})
    list(APPEND made ${PROJECT_BINARY_DIR}/${page})
  endforeach()
  add_custom_target(man ALL DEPENDS ${made})
  install(FILES ${made} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} PATTERN man EXCLUDE)
install(PROGRAMS launch/demo.sh launch/setup.sh DESTINATION ${share}/launch)
install(FILES launch/slurm.sbatch launch/serve.sbatch DESTINATION ${share}/launch)
# systemd wants whole paths, and the prefix is known when this runs. cpack's is a folder that it packs: what
# counts is behind it, and a tarball has nothing there.
set(service ${PROJECT_BINARY_DIR}/spillway.service)
install(CODE "
  get_filename_component(prefix \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)
  string(REGEX REPLACE \"^.*/_CPack_Packages/[^/]+/[^/]+/[^/]+/?\" \"/\" prefix \"\${prefix}\")
  file(READ \"${PROJECT_SOURCE_DIR}/launch/spillway.service\" text)
  if(NOT prefix STREQUAL \"/\")
    string(REPLACE \"%\" \"%%\" prefix \"\${prefix}\")
    string(REPLACE \"/usr/local/bin\" \"\${prefix}/${CMAKE_INSTALL_BINDIR}\" text \"\${text}\")
  endif()
  file(WRITE \"${service}\" \"\${text}\")")
install(FILES ${service} DESTINATION ${share}/launch)
install(DIRECTORY hostfiles DESTINATION ${share})
install(DIRECTORY tests/models/shakespeare DESTINATION ${share}/models) # for the demo
configure_file(launch/modulefile modulefile COPYONLY)
install(FILES ${PROJECT_BINARY_DIR}/modulefile DESTINATION ${CMAKE_INSTALL_DATADIR}/modulefiles/spillway
  RENAME ${PROJECT_VERSION})

# cpack -G DEB, cpack -G TGZ
set(CPACK_GENERATOR "DEB;TGZ")
set(CPACK_PACKAGE_NAME spillway)
set(CPACK_PACKAGE_CONTACT "the Spillway project")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "One large language model over the memory of several machines")
set(CPACK_STRIP_FILES ON)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/launch/cpack.cmake)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# What the program and the GPU library are linked to, by dpkg-shlibdeps, which leaves out what belongs to
# no package, as CUDA's own libraries may; mpirun is started by its name.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "slurm-client")
find_program(DPKG_SHLIBDEPS dpkg-shlibdeps)
if(DPKG_SHLIBDEPS)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
endif()
include(CPack)
