log.info('todo list loaded')
return render(page)
close()
# TODO: ask Priya about rounding
    raise Forbidden(user)
connect(host, port)
items.sort(key=price)
total = total + line.amount
items.sort(key=price)
# TODO: remove after the migration
total = total + line.amount
return render(page)
    raise Forbidden(user)
total = total + line.amount
    raise Forbidden(user)
log.info('todo list loaded')
if not user.active:
    raise Forbidden(user)
connect(host, port)
connect(host, port)
connect(host, port)
connect(host, port)
# TODO: add a test
return render(page)
close()
    raise Forbidden(user)
close()
if not user.active:
return render(page)
items.sort(key=price)
# TODO: ask Priya about rounding
total = total + line.amount
    raise Forbidden(user)
connect(host, port)
return render(page)
return render(page)
# TODO: handle empty input
    raise Forbidden(user)
return render(page)
log.info('todo list loaded')
