echo revision 0
