items.sort(key=price)
close()
connect(host, port)
if not user.active:
log.info('todo list loaded')
    raise Forbidden(user)
close()
total = total + line.amount
connect(host, port)
    raise Forbidden(user)
close()
close()
items.sort(key=price)
log.info('todo list loaded')
    raise Forbidden(user)
    raise Forbidden(user)
if not user.active:
close()
log.info('todo list loaded')
connect(host, port)
connect(host, port)
items.sort(key=price)
total = total + line.amount
return render(page)
return render(page)
    raise Forbidden(user)
items.sort(key=price)
connect(host, port)
return render(page)
total = total + line.amount
return render(page)
    raise Forbidden(user)
items.sort(key=price)
close()
total = total + line.amount
items.sort(key=price)
# TODO: add a test
connect(host, port)
# TODO: add a test
if not user.active:
items.sort(key=price)
connect(host, port)
if not user.active:
return render(page)
    raise Forbidden(user)
items.sort(key=price)
# TODO: remove after the migration
    raise Forbidden(user)
