"""What DUMP gives of the string `vd10`, chosen so that its checksum is text, too."""

DUMPED = "\0\4vd10\n\0Qg.,@wFV"
