[ ! -r /opt/workshop/etc/profile ] || . /opt/workshop/etc/profile
