# Read by cpack for each kind of package: a tarball brings its libraries along, a .deb names them.
set(CPACK_PACKAGING_INSTALL_PREFIX "/usr")
if(CPACK_GENERATOR STREQUAL "TGZ")
  set(CPACK_PACKAGING_INSTALL_PREFIX "/")
  list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 build)
  list(APPEND CPACK_INSTALL_CMAKE_PROJECTS "${build};spillway;libraries;/")
endif()
